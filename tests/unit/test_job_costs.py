"""One table of what jobs cost."""

import csv

from nucleiflow.job_costs import join


def write(folder, seconds, **jobs):
    for name, text in jobs.items():
        path = folder / f"{name.replace('__', '/')}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{text}\n")


def rows(table):
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_of_jobs_become_rows(tmp_path):
    folder, table = tmp_path / "benchmarks", tmp_path / "benchmarks.csv"
    write(folder, 2.5, measure__b="200.5", measure__a="NA", summary="1", tuning__x__s__b="7")
    join(folder, table)
    assert rows(table) == [
        {"rule": rule, "job": job, "s": "2.5", "h:m:s": "0:00:01", "max_rss": memory}
        for rule, job, memory in (
            ("measure", "a", "NA"),
            ("measure", "b", "200.5"),
            ("tuning", "x/s/b", "7"),
        )
    ]
    # That of a rule with one job is an output that a target misses.
    assert [path.name for path in folder.iterdir()] == ["summary.tsv"]


def test_what_ran_again_takes_the_place_of_its_row(tmp_path):
    folder, table = tmp_path / "benchmarks", tmp_path / "benchmarks.csv"
    write(folder, 1, measure__a="1", measure__b="2")
    join(folder, table)
    before = table.read_text()
    join(folder, table)
    assert table.read_text() == before
    write(folder, 1, measure__b="3", measure__c="4")
    join(folder, table, {"a"})
    assert [(row["job"], row["max_rss"]) for row in rows(table)] == [("b", "3"), ("c", "4")]
    join(folder, table, {"b"})
    assert [row["job"] for row in rows(table)] == ["c"]


def test_nothing_is_written_where_nothing_ran(tmp_path):
    join(tmp_path / "benchmarks", tmp_path / "benchmarks.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_another_version_wrote_has_other_columns(tmp_path):
    folder, table = tmp_path / "benchmarks", tmp_path / "benchmarks.csv"
    write(folder, 1, measure__a="1")
    join(folder, table)
    (folder / "measure").mkdir(parents=True)
    (folder / "measure" / "b.tsv").write_text("s\tcpu_time\n2\t3\n")
    join(folder, table)
    assert [(row["max_rss"], row["cpu_time"]) for row in rows(table)] == [("1", ""), ("", "3")]
