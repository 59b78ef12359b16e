# The tables of the whole dataset, from those of the batches. They read every batch, so they run
# in the main process's machine and not in a job.


localrules:
    tables,
    column_table,
    image_table,
    object_formats,
    object_table,
    run_record,
    summary,
    summary_table,


rule tables:
    input:
        all_tables,


rule image_table:
    input:
        measured=measured,
        overlays=overlays,
    output:
        f"{RESULTS}/images.csv",
    log:
        f"{RESULTS}/logs/image_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/image_table.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        folders={name: FOLDERS[name] for name in KEPT},
        stages=STAGES,
        ending=CONFIG["overlay"]["format"],
        plans=os.path.dirname(PLAN),
        metadata=metadata,
        plate_map=plate_map(),
        pixel_size_um=CONFIG["pixel_size_um"],
        qc=CONFIG["qc"],
        modules=modules("image_table"),
    script:
        "../scripts/image_table.py"


rule object_table:
    input:
        measured=measured,
        images=f"{RESULTS}/images.csv",
    output:
        f"{RESULTS}/objects.parquet",
    log:
        f"{RESULTS}/logs/object_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/object_table.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        plans=os.path.dirname(PLAN),
        metadata=metadata,
        plate_map=plate_map(),
        added=FOLLOWING,
        modules=modules("object_table"),
    script:
        "../scripts/object_table.py"


rule object_formats:
    input:
        **table_sources(),
    output:
        **table_formats(),
    log:
        f"{RESULTS}/logs/object_formats.log",
    benchmark:
        f"{RESULTS}/benchmarks/object_formats.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=CONFIG["tables"],
        modules=modules("object_formats"),
    script:
        "../scripts/object_formats.py"


rule column_table:
    input:
        objects=f"{RESULTS}/objects.parquet",
        images=f"{RESULTS}/images.csv",
        summary=f"{RESULTS}/summary.csv",
    output:
        f"{RESULTS}/columns.csv",
    log:
        f"{RESULTS}/logs/column_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/column_table.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        added=ADDED,
        modules=modules("column_table"),
    script:
        "../scripts/column_table.py"


rule summary_table:
    input:
        objects=f"{RESULTS}/objects.parquet",
        images=f"{RESULTS}/images.csv",
    output:
        f"{RESULTS}/summary.csv",
    log:
        f"{RESULTS}/logs/summary_table.log",
    benchmark:
        f"{RESULTS}/benchmarks/summary_table.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=summary_settings,
        modules=modules("summary_table"),
    script:
        "../scripts/summary_table.py"


rule run_record:
    input:
        images=f"{RESULTS}/images.csv",
        objects=f"{RESULTS}/objects.parquet",
    output:
        f"{RESULTS}/run.json",
    log:
        f"{RESULTS}/logs/run_record.log",
    benchmark:
        f"{RESULTS}/benchmarks/run_record.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        config=CONFIG,
        version=VERSION,
        start=START,
        modules=modules("run_record"),
    script:
        "../scripts/run_record.py"


rule summary:
    input:
        images=f"{RESULTS}/images.csv",
        run=f"{RESULTS}/run.json",
    output:
        f"{RESULTS}/summary.txt",
    log:
        f"{RESULTS}/logs/summary.log",
    benchmark:
        f"{RESULTS}/benchmarks/summary.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        max_failed=CONFIG["max_failed"],
        modules=modules("summary"),
    script:
        "../scripts/summary.py"
