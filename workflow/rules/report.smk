# The report that `snakemake --report report.html` makes: its pages, of the tables and overlays.


report: "../report/workflow.rst"


localrules:
    report_run,
    report_plots,
    report_plates,
    report_pictures,


rule report_run:
    input:
        run=f"{RESULTS}/run.json",
        images=f"{RESULTS}/images.csv",
        summary=f"{RESULTS}/summary.csv",
    output:
        run=report(
            f"{RESULTS}/report/run.html",
            caption="../report/run.rst",
            category="1 Run",
            labels={"page": "What was run"},
        ),
        quality=report(
            f"{RESULTS}/report/quality.html",
            caption="../report/quality.rst",
            category="2 Quality",
            labels={"page": "Quality of the images"},
        ),
        tables=report(
            directory(f"{RESULTS}/report/tables"),
            patterns=["{page}.csv"],
            caption="../report/tables.rst",
            category="7 Tables",
            labels=page_labels,
        ),
        plots=directory(f"{RESULTS}/report/quality"),
    log:
        f"{RESULTS}/logs/report_run.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_run.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        defaults=settings.load({}, SCHEMA),
        modules=modules("report_run"),
    script:
        "../scripts/report_run.py"


rule report_pictures:
    input:
        images=f"{RESULTS}/images.csv",
        overlays=overlays,
    output:
        report(
            f"{RESULTS}/report/pictures.html",
            caption="../report/pictures.rst",
            category="3 Pictures",
            labels={"page": "Outlines of flagged images, and of others"},
        ),
    log:
        f"{RESULTS}/logs/report_pictures.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_pictures.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=report_settings("pictures"),
        modules=modules("report_pictures"),
    script:
        "../scripts/report_pictures.py"


rule report_plots:
    input:
        objects=f"{RESULTS}/objects.parquet",
        images=f"{RESULTS}/images.csv",
    output:
        page=report(
            f"{RESULTS}/report/plots.html",
            caption="../report/plots.rst",
            category="4 Plots",
            labels={"page": "Measurements"},
        ),
        plots=directory(f"{RESULTS}/report/plots"),
    log:
        f"{RESULTS}/logs/report_plots.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_plots.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=report_settings("measurements", "group_by"),
        modules=modules("report_plots"),
    script:
        "../scripts/report_plots.py"


rule report_plates:
    input:
        objects=f"{RESULTS}/objects.parquet",
        images=f"{RESULTS}/images.csv",
    output:
        report(
            directory(f"{RESULTS}/report/plates"),
            patterns=["{page}.html", "{page}.csv"],
            caption="../report/plates.rst",
            category=page_category,
            labels=page_labels,
        ),
    log:
        f"{RESULTS}/logs/report_plates.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_plates.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=plate_settings,
        modules=modules("report_plates"),
    script:
        "../scripts/report_plates.py"
