"""The documents against the tree: what they name is there, and says what they say it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = ROOT / "tests" / "requirements.md"
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md")]
                   if "build" not in path.relative_to(ROOT).parts)
ROW = re.compile(r"^\| (?P<number>[A-Z]\d+) \| `(?P<file>[^`]+)` \| (?P<title>.+?) \| (?P<broken>.+?) \|$")


def rows():
    return [match.groupdict() for match in map(ROW.match, REQUIREMENTS.read_text().splitlines())
            if match]


def spoken(text):
    """A title as text or as a Python name: only letters and digits count, in lower case."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def test_requirements_md_has_rows_that_can_be_read():
    assert len(rows()) > 20


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['number']}-{row['title'][:40]}")
def test_the_test_that_proves_a_requirement_is_there(row):
    path = ROOT / row["file"]
    assert path.is_file(), f"{row['number']}: {row['file']} is gone"
    assert spoken(row["title"]) in spoken(path.read_text()), \
        f"{row['number']}: no test titled so in {row['file']}: {row['title']}"
    assert row["broken"].strip(), f"{row['number']}: which line was broken to see it fail?"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(document):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:c|h|def|md|sql|py|yaml|cmake|txt))`", text):
        if re.match(r"(YYYY|NN_|test_NAME)", name):
            continue  # a form of name, not a name
        here = [document.parent / name, ROOT / name]
        anywhere = list(ROOT.glob(f"*/**/{name}")) if "/" not in name else []
        assert any(path.exists() for path in here) or anywhere, f"{document.name} names {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_holds_nothing_that_a_merge_left(document):
    assert not re.search(r"^(<{7} |={7}$|>{7} )", document.read_text(), re.M)


@pytest.mark.parametrize("folder", ["common", "worker", "producer", "migrations", "deploy", "tests"])
def test_every_folder_says_what_it_is_for(folder):
    assert (ROOT / folder / "DESIGN.md").is_file()
