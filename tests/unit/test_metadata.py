"""Batches are read with what their names tell."""

import json

from records import STANDARD, batch_of, record

from nucleiflow import plan
from nucleiflow.batch import RECORDS
from nucleiflow.metadata import read_batches


def test_batches_are_read_with_the_records_of_their_last_stage(tmp_path):
    for name in ("y", "x"):
        batch = batch_of(name, [("P1", "A01", "1", "")])
        plan.save(batch.batch, "/data", "/data", STANDARD, tmp_path / f"plans/{name}.json")
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORDS).write_text(json.dumps([record("a", batch=name)]))
    found = list(read_batches([tmp_path / "y", tmp_path / "x"], tmp_path / "plans"))
    assert [batch.batch.name for batch, _ in found] == ["y", "x"]
    assert [records[0]["batch"] for _, records in found] == ["y", "x"]
    assert found[0][0].batch.images[0].metadata == ("P1", "A01", "1", "")
