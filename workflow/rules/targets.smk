# What a run makes: the files that its last rules ask for.

import os


def of_batches(folder):
    """One directory a batch, in the order of the dataset."""
    return [f"{RESULTS}/{folder}/{batch}" for batch in found().batches]


def measured(wildcards):
    return of_batches("measure")


def overlays(wildcards):
    return of_batches("overlay") if "overlay" in CONFIG["keep"] else []


def table_formats():
    """What the table of all objects is written as, beside Parquet."""
    chosen = CONFIG["tables"]
    ending = "csv.gz" if chosen["csv"] == "gzip" else "csv"
    outputs = {"csv": f"{RESULTS}/objects.{ending}"}
    if chosen["sqlite"]:
        outputs["sqlite"] = f"{RESULTS}/objects.sqlite"
    if chosen["partition_by"]:
        outputs["parts"] = directory(f"{RESULTS}/objects")
    return outputs


def table_sources():
    """What that is made of: the database has a table of the images, too."""
    inputs = {"objects": f"{RESULTS}/objects.parquet"}
    return inputs | (
        {"images": f"{RESULTS}/images.csv"} if CONFIG["tables"]["sqlite"] else {}
    )


def present(folder):
    path = Path(RESULTS, folder)
    return set(os.listdir(path)) if path.is_dir() else set()


def lacking():
    """What is to be kept of finished batches and is not there: removed, or not kept before.

    Nothing else asks for it, as their tables are made. Of other batches it comes by itself.
    """
    finished = present("measure") & found().batches.keys()
    folders = {FOLDERS[name] for name in KEPT} | {"measure"}
    return [
        f"{RESULTS}/{folder}/{batch}"
        for folder in folders
        for batch in finished - present(folder)
    ]


def wells_known():
    """Whether any image has a well, so that there is a plate to draw."""
    dataset = found()
    place = dataset.columns.index("well")
    return any(
        image.metadata[place]
        for batch in dataset.batches.values()
        for image in batch.images
    )


# What a page or table is that is there in some runs only, and where the report has it.
PAGES = {
    "failed": ("7 Tables", {"table": "failed.csv: images that failed"}),
    "summary": (
        "7 Tables",
        {"table": "summary.csv: medians by directory, or group_by"},
    ),
    "plates": ("5 Plates", {"page": "Wells as heat maps"}),
    "doses": ("6 Doses", {"page": "Dose curves"}),
    "wells": ("7 Tables", {"table": "wells.csv: a row a well"}),
}


def page_category(wildcards):
    return PAGES[wildcards.page][0]


def page_labels(wildcards):
    return PAGES[wildcards.page][1]


def all_tables(wildcards):
    """Tables, and what of each image is to be kept."""
    names = ["objects.parquet", "images.csv", "summary.csv", "columns.csv"]
    names += ["run.json", "summary.txt"]
    tables = [f"{RESULTS}/{name}" for name in names]
    tables += map(str, table_formats().values())
    return tables + overlays(wildcards) + lacking()


def pages(wildcards):
    """Of the report."""
    names = ["run.html", "plots.html"]
    if "overlay" in CONFIG["keep"]:
        names.append("pictures.html")
    if wells_known():
        names.append("plates")
    if CONFIG["illumination"]["method"] == "estimate":
        names.append("illumination.jpg")
    return [f"{RESULTS}/report/{name}" for name in names]


def everything(wildcards):
    return all_tables(wildcards) + pages(wildcards)
