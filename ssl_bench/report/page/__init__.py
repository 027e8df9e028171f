"""The leaderboard as one self-contained HTML page."""

from ssl_bench.report.page.rendering import write_html as write_html
