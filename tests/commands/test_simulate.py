"""``sillage simulate``."""

import gzip
import json

import pytest
from click.testing import CliRunner

from app.commands.simulate import simulate
from app.core.errors import FileRefused


def run(*arguments):
    return CliRunner().invoke(simulate, ["--pupils", "30", "--days", "2", *arguments], catch_exceptions=False)


def test_statements_go_to_standard_output_one_a_line():
    done = run("--source", "ent")
    assert done.exit_code == 0
    statements = [json.loads(line) for line in done.stdout.splitlines()]
    assert {statement["context"]["platform"] for statement in statements} == {"ent-exemple"}
    assert f"{len(statements)} statements written" in done.stderr


def test_a_name_in_gz_is_compressed_and_the_same_seed_gives_the_same_file(tmp_path):
    first, second, plain = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz", tmp_path / "c.jsonl"
    for target in (first, second, plain):
        assert run("--out", str(target)).exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()) == plain.read_bytes()


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(FileRefused, match="cannot be written"):
        run("--out", str(tmp_path / "absent" / "file"))


@pytest.mark.parametrize("arguments", [["--pupils", "0"], ["--days", "0"], ["--start", "soon"], ["--source", "x"]])
def test_bad_options_are_refused(arguments):
    assert run(*arguments).exit_code == 2
