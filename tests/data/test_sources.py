"""One data source for each use: what identifies it, and its volumes, whatever they come from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ssl_bench.api.cases import SPLITS, Case
from ssl_bench.api.registry import TASKS, add_plugin_file
from ssl_bench.api.settings import load_preset
from ssl_bench.conformance.task_checks import TaskUnderTest
from ssl_bench.data import generated
from ssl_bench.data.folder_cases import FolderCases
from ssl_bench.data.generated import generator_source
from ssl_bench.data.layouts.own_tasks import add_own, register_own
from ssl_bench.data.source import cases_digest
from ssl_bench.data.sources import DataSources, source_of
from ssl_bench.data.split_files import write_splits
from ssl_bench.data.splits import Splits
from ssl_bench.errors import UserError
from ssl_bench.planning.planner import Planner
from ssl_bench.spec.cell import Cell
from ssl_bench.spec.locations import Locations
from tests.data.files import ct, heart, save
from tests.data.folders import write_nnunet

pytestmark = pytest.mark.usefixtures("fresh_registry")

PRESET = load_preset("smoke")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SSL_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


@pytest.fixture
def noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a task whose generator grows noise, registered as ``noise``."""
    file = tmp_path / "noise.py"
    shutil.copyfile(Path(__file__).with_name("noise.py.txt"), file)
    add_plugin_file(file)
    generator_source.cache_clear()
    return file


def sources(locations: Locations | None = None, label_fraction: float = 1.0) -> DataSources:
    return DataSources(locations or Locations(), PRESET.cohort, label_fraction=label_fraction)


def planned(data: DataSources) -> Cell:
    return Planner(PRESET, [], "float32", data).evaluation("scratch", "noise", "linear", 0)


def plugin(folder: Path, declared: str) -> Path:
    """A file with a task of these declarations."""
    text = f"""
from ssl_bench.api import Generator, Task, TaskFacts
from ssl_bench.tasks.sac import SAC

class Half(Generator):
    pass

class Odd(Task):
    facts = TaskFacts("Odd", "segmentation", "DSC", ("a",), "CT", "heart")
    {declared}
"""
    (folder / "odd.py").write_text(text)
    return folder / "odd.py"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("", r"'odd' \(.*odd\.py\) has no cases; give Odd a dataset, a generator, or both"),
        ("dataset = 'MM-WHS'", "declares a dataset that is no Dataset, 'MM-WHS'; make it one"),
        ("generator = Half", "declares a generator that is no complete Generator class"),
        ("generator = 3", "declares a generator that is no complete Generator class, 3; make it one"),
    ],
)
def test_a_task_whose_cases_come_from_nowhere_is_refused(declared: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        add_plugin_file(plugin(tmp_path, declared))
    assert "odd" not in TASKS.names()


def test_a_generator_is_a_source_among_others(noise: Path, cache: Path) -> None:
    source = sources().task("noise")
    cases, spec = source.load(), source.describe()
    assert not spec.is_real
    assert {split: len(cases[split]) for split in SPLITS} == spec.counts.model_dump()
    assert [case.identifier for case in cases["train"]] == ["train-000", "train-001"]
    for case in (case for split in SPLITS for case in cases[split]):
        assert isinstance(case.image, np.memmap)
        assert isinstance(case.label, np.memmap)
        assert case.spacing_mm == (2.0, 2.0, 2.0)
    assert source.left_out == ()
    assert source.signatures() == []
    described = [json.loads((folder / "case.json").read_text()) for folder in cache.iterdir()]
    assert len(described) == 5
    assert {one["identifier"] for one in described} == {case.identifier for part in cases.values() for case in part}
    assert all(check.problem(TaskUnderTest("noise")) is None for check in TaskUnderTest("noise").checks)


def test_of_splits_that_are_not_asked_for_no_case_is_touched(noise: Path, cache: Path) -> None:
    found = sources().task("noise").load("train", "validation")
    assert list(found) == ["train", "validation"]
    grown = [json.loads((folder / "case.json").read_text())["identifier"] for folder in cache.iterdir()]
    assert sorted(grown) == ["train-000", "train-001", "validation-000"]


def test_of_a_folders_splits_that_are_not_asked_for_no_case_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Prepared:
        def __init__(self, name: str) -> None:
            self.name = name

        def load(self) -> str:
            loaded.append(self.name)
            return self.name

    folder = FolderCases.__new__(FolderCases)
    monkeypatch.setattr(FolderCases, "cases", {f"{split} case": Prepared(f"{split} case") for split in SPLITS})
    monkeypatch.setattr(FolderCases, "_identifiers", lambda _, split: [f"{split} case"])
    assert folder.load("train", "validation") == {"train": ["train case"], "validation": ["validation case"]}
    assert loaded == ["train case", "validation case"]
    assert list(folder.load()) == list(SPLITS)


def test_what_was_grown_is_not_grown_again(noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sources().task("noise").load()

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(TASKS.load("noise").generator, "grow", refuse)
    again = sources().task("noise").load()
    assert all(np.array_equal(one.image, two.image) for one, two in zip(first["test"], again["test"], strict=True))


def test_a_damaged_case_is_grown_again(noise: Path, cache: Path) -> None:
    first = [np.array(case.image) for case in sources().task("noise").load()["train"]]
    for folder in cache.iterdir():
        (folder / "image.npy").write_bytes(b"half")
    again = [case.image for case in sources().task("noise").load()["train"]]
    assert all(map(np.array_equal, first, again))


def test_an_edited_generator_reads_no_cases_of_before(noise: Path, cache: Path) -> None:
    sources().task("noise").load()
    before = set(cache.iterdir())
    noise.write_text(noise.read_text() + "\n# changed\n")
    generator_source.cache_clear()
    sources().task("noise").load()
    assert len(set(cache.iterdir()) - before) == len(before)


def test_an_edit_of_the_shared_code_of_generators_reads_no_cases_of_before(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {generator_source(TASKS.load(name).generator) for name in ("noise", "shc", "ccc")}  # type: ignore[arg-type]
    assert len(digests) == 3
    package = tmp_path / "synthetic"
    shutil.copytree(Path(str(generated.synthetic.__file__)).parent, package)
    monkeypatch.setattr(generated.synthetic, "__file__", str(package / "__init__.py"))
    generator = TASKS.load("noise").generator
    assert generator is not None
    seen = set()
    for text in ("", "# changed\n", "# changed again\n"):
        (package / "warps.py").write_text(text)
        generator_source.cache_clear()
        seen.add(generator_source(generator))
    assert len(seen) == 3


def test_a_planned_cell_grows_only_what_it_was_planned_from(noise: Path, tmp_path: Path) -> None:
    own = (tmp_path / "own.txt", tmp_path / "labels.txt")
    own[0].write_text("other noise")
    data = sources(Locations(anatomy=own))
    cell = planned(data)
    assert cell.evaluation.data.fingerprint != sources().task("noise").describe().fingerprint
    assert source_of(cell).describe() == cell.evaluation.data
    own[0].write_text("changed noise")
    with pytest.raises(UserError, match=r"own\.txt.*no longer what this cell was planned from; plan it again"):
        source_of(cell).load()


def test_a_label_fraction_is_a_part_of_the_training_cases_alone(noise: Path) -> None:
    whole, half = (sources(label_fraction=fraction).task("noise").load() for fraction in (1.0, 0.5))
    assert {case.identifier for case in half["train"]} < {case.identifier for case in whole["train"]}
    assert [case.identifier for case in half["test"]] == [case.identifier for case in whole["test"]]


def test_a_task_without_a_generator_needs_a_folder(tmp_path: Path) -> None:
    add_plugin_file(plugin(tmp_path, "dataset = SAC.dataset"))
    with pytest.raises(UserError, match="task 'odd' has no embedded cohort; name the folder of its data with --data-"):
        sources().task("odd")
    assert [check.problem(TaskUnderTest("odd")) for check in TaskUnderTest("odd").checks] == [None]


def test_a_task_without_a_data_set_takes_no_folder(noise: Path, tmp_path: Path) -> None:
    data = sources(Locations(data_roots={"noise": tmp_path}))
    with pytest.raises(UserError, match="--data-root: task 'noise' has no reader for real data; leave the option out"):
        data.task("noise")


def chambers(folder: Path, healthy: tuple[int, ...]) -> tuple[str, DataSources, list[str]]:
    """Ten small cases in nnU-Net's format, the last two for testing; its name, its source, and what is warned of."""
    from ssl_bench.data.layouts.own_tasks import add_own

    for number in range(10):
        part = "Tr" if number < 8 else "Ts"
        save(folder / f"images{part}" / f"c{number}_0000.nii", ct(number))
        save(folder / f"labels{part}" / f"c{number}.nii", heart(value=number not in healthy))
    described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii"}
    (folder / "dataset.json").write_text(json.dumps(described))
    name, kind, root = add_own(f"nnunet:{folder}")
    said: list[str] = []
    locations = Locations(data_roots={name: root}, own_tasks={name: kind})
    return name, DataSources(locations, PRESET.cohort, label_fraction=0.1, warn=said.append), said


def test_a_training_set_without_any_class_is_refused(tmp_path: Path) -> None:
    name, data, said = chambers(tmp_path / "Healthy", healthy=(8, 9))
    assert data.task(name).describe().counts.test == 2
    (line,) = [line for line in said if "no test case holds a voxel of any class" in line]
    assert line.endswith("give another --split FILE")
    name, data, _ = chambers(tmp_path / "Worse", healthy=tuple(range(8)))
    with pytest.raises(UserError, match="no train case holds a voxel of any class: nothing could be learnt"):
        data.task(name).describe()


def test_a_label_fraction_keeps_healthy_subjects_and_others(tmp_path: Path) -> None:
    name, data, _ = chambers(tmp_path / "Some", healthy=(0, 1, 2, 3))
    train = data.task(name).load()["train"]
    assert sorted(bool(np.any(case.label)) for case in train) == [False, True]


def test_a_folder_answers_the_same_questions(tmp_path: Path) -> None:
    from ssl_bench.data.layouts.own_tasks import add_own

    root = tmp_path / "Dataset001_Hearts"
    root.mkdir()
    write_nnunet(root)
    name, kind, folder = add_own(f"nnunet:{root}")
    source = sources(Locations(data_roots={name: folder}, own_tasks={name: kind})).task(name)
    spec, cases = source.describe(), source.load()
    assert spec.is_real
    assert {split: len(cases[split]) for split in SPLITS} == spec.counts.model_dump()
    watched = {case.identifier for split in SPLITS[1:] for case in cases[split]}
    assert {name for name, _ in source.signatures()} == watched


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Ten scans of two classes, in turn."""
    root = tmp_path / "scans"
    root.mkdir()
    for number in range(10):
        noise = np.random.default_rng(number).normal(0, 80, (16, 16, 16)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), root / f"s{number}.nii.gz")
    (root / "labels.csv").write_text(
        "image,label\n" + "".join(f"s{number}.nii.gz,{number % 2}\n" for number in range(10))
    )
    return root


@pytest.mark.parametrize(
    ("part", "cases", "said"),
    [
        ("train", (0, 2, 4), "all 3 of class 0, none of class 1"),
        ("validation", (7, 9), "all 2 of class 1, none of class 0"),
        ("test", (8,), "all 1 of class 0, none of class 1"),
    ],
)
def test_a_part_of_one_class_alone_is_refused_when_cells_are_planned(
    part: str, cases: tuple[int, ...], said: str, labelled: Path, tmp_path: Path
) -> None:
    name, kind, root = add_own(f"folder:{labelled}")
    fold = {"train": (0, 1), "validation": (6, 3), "test": (8, 5)} | {part: cases}
    splits = Splits.model_validate(
        {"task": name, "note": "", "folds": [{each: [f"s{n}" for n in fold[each]] for each in SPLITS}]}
    )
    write_splits(splits, tmp_path / "split.json")
    locations = Locations(data_roots={name: root}, own_tasks={name: kind}, split=tmp_path / "split.json")
    with pytest.raises(UserError, match=rf"scans --split .*: fold 0: one class alone in the {part} part: {said}; "):
        Planner(PRESET, [], "float32", sources(locations)).evaluation("scratch", name, "linear", 0)
    assert sources(Locations(data_roots={name: root}, own_tasks={name: kind})).task(name).describe().is_real


def test_one_embedded_case_of_a_classification_is_of_one_class() -> None:
    preset = load_preset("smoke", ["cohort.classification.test=1"])
    with pytest.raises(UserError, match=r"task 'ccc': one class alone in the test part.*cohort.classification.test=2"):
        DataSources(Locations(), preset.cohort).task("ccc")
    cases = DataSources(Locations(), load_preset("smoke", ["cohort.classification.test=2"]).cohort).task("ccc").load()
    assert {case.label for case in cases["test"]} == {0, 1}


def test_another_process_registers_the_tasks_of_a_cells_folders(tmp_path: Path) -> None:
    name, _, _ = chambers(tmp_path / "Hearts", healthy=())
    classes = TASKS.load(name).facts.classes
    locations = Locations(data_roots={name: tmp_path / "Hearts"}, own_tasks={name: "nnunet"})
    TASKS._given.clear()
    assert name not in TASKS.names()
    register_own(locations)
    assert TASKS.load(name).facts.classes == classes
    (tmp_path / "Hearts").rename(tmp_path / "Other")
    moved = Locations(data_roots={name: tmp_path / "Other"}, own_tasks={name: "nnunet"})
    with pytest.raises(UserError, match=f"Other: no longer defines task '{name}'; plan its cells again"):
        register_own(moved)


def test_records_that_met_the_same_voxels_and_labels_have_one_digest_and_no_others() -> None:
    image, label = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 4), np.uint8)
    changed = [image.copy(), label.copy()]
    for array in changed:
        array[0, 1, 2] = 1
    spacing = (1.0, 1.0, 1.0)
    one, image_of_another, label_of_another = (
        Case(name, *arrays, spacing)
        for name, arrays in {"a": (image, label), "b": (changed[0], label), "c": (image, changed[1])}.items()
    )
    digest = cases_digest([one, label_of_another])
    assert digest == cases_digest([Case("renamed", image.copy(), label.copy(), spacing), label_of_another])
    others = [[one], [one, image_of_another], [label_of_another, one], [image_of_another, label_of_another]]
    assert len({digest, *map(cases_digest, others)}) == 5


def test_the_embedded_corpus_shows_none_of_a_data_sets_patients(tmp_path: Path) -> None:
    """A real task whose patients are known may be met by networks that were pre-trained on it."""
    assert DataSources(Locations(), PRESET.cohort).corpus.scans_of(["patient-1"], tmp_path, "") == []
