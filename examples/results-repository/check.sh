#!/usr/bin/env bash
# Verify every bundle, then write leaderboard.md. Exit 1 where a bundle is refused: the old leaderboard stays.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
mkdir "$work/unpacked"
trap 'rm -rf "$work"' EXIT
if ! ssl-bench verify bundles/*.zip > "$work/output.txt"; then
    cat "$work/output.txt"
    exit 1
fi
# Submitters' words are text, and no HTML.
sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' "$work/output.txt" > "$work/verified.txt"
{
    echo "# Leaderboard"
    echo
    echo "## Reproduced on another machine"
    echo
    if ! grep -Eq '^(not )?reproduced: ' "$work/verified.txt"; then
        echo "Nothing yet: two bundles from different kinds of machines have to hold the same cells."
    fi
    sed -n -e 's/^reproduced: /- ✔ /p' -e 's/^not reproduced: /- ✘ /p' "$work/verified.txt"
    echo
    echo "## Verified"
    echo
    grep -Ev '^(not )?reproduced: ' "$work/verified.txt" | sed -e 's/^  cannot/    - cannot/' -e '/^    - /!s/^/- /'
    for bundle in bundles/*.zip; do
        name=$(basename "$bundle" .zip)
        # Verified: none of its paths leaves the folder.
        python3 -m zipfile -e "$bundle" "$work/unpacked/$name"
        echo
        echo "## $name"
        echo
        ssl-bench report --format md --results "$work/unpacked/$name" | sed 's/^#/##/'
    done
} > "$work/leaderboard.md"
mv "$work/leaderboard.md" leaderboard.md
echo "leaderboard.md"
