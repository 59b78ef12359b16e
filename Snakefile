# nucleiflow: directories of fluorescence images in, a row for every nucleus out.
#
# One job handles one batch (some images of one directory) in one stage; the stages of a batch
# are one group, which is one Slurm job. What is science stands in config/, what is the machine's
# in profiles/.


configfile: f"{workflow.current_basedir}/config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/params.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/run.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        everything,


rule preprocess:
    input:
        flat_fields,
    output:
        **products("preprocessed", "channel"),
    log:
        LOG.format("preprocess"),
    benchmark:
        BENCHMARK.format("preprocess")
    priority: 1
    group:
        "batch"
    conda:
        "workflow/envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("preprocess"),
    params:
        plan=PLAN,
        settings=settings_of("preprocess"),
        images=fingerprint,
        modules=modules("preprocess"),
    script:
        "workflow/scripts/preprocess.py"


rule threshold:
    input:
        preprocessed=f"{RESULTS}/preprocess/{{batch}}",
    output:
        **products("mask"),
    log:
        LOG.format("threshold"),
    benchmark:
        BENCHMARK.format("threshold")
    priority: 2
    group:
        "batch"
    conda:
        "workflow/envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("threshold"),
    params:
        plan=PLAN,
        settings=settings_of("threshold"),
        modules=modules("threshold"),
    script:
        "workflow/scripts/threshold.py"


rule markers:
    input:
        mask=f"{RESULTS}/threshold/{{batch}}",
        preprocessed=f"{RESULTS}/preprocess/{{batch}}",
    output:
        **products(
            "markers", "sure_background", "sure_foreground", "unknown", "distance"
        ),
    log:
        LOG.format("markers"),
    benchmark:
        BENCHMARK.format("markers")
    priority: 3
    group:
        "batch"
    conda:
        "workflow/envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("markers"),
    params:
        plan=PLAN,
        settings=settings_of("markers"),
        seeds=seeds_fingerprint,
        modules=modules("markers"),
    script:
        "workflow/scripts/markers.py"


rule watershed:
    input:
        flat_fields,
        markers=f"{RESULTS}/markers/{{batch}}",
        mask=f"{RESULTS}/threshold/{{batch}}",
        preprocessed=f"{RESULTS}/preprocess/{{batch}}",
    output:
        **watershed_products(),
    log:
        LOG.format("watershed"),
    benchmark:
        BENCHMARK.format("watershed")
    priority: 4
    group:
        "batch"
    conda:
        "workflow/envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("watershed"),
    params:
        plan=PLAN,
        settings=settings_of("watershed"),
        modules=modules("watershed"),
    script:
        "workflow/scripts/watershed.py"


rule measure:
    input:
        flat_fields,
        **labelled(*OBJECTS),
    output:
        csv=directory(f"{RESULTS}/measure/{{batch}}"),
    log:
        LOG.format("measure"),
    benchmark:
        BENCHMARK.format("measure")
    priority: 5
    group:
        "batch"
    conda:
        "workflow/envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=measure_mem_mb,
        runtime=runtime_of("measure"),
    params:
        plan=PLAN,
        settings=settings_of("measure"),
        modules=modules("measure"),
    script:
        "workflow/scripts/measure.py"


if TILES:

    include: "workflow/rules/join.smk"


if SECONDARY:

    include: "workflow/rules/cells.smk"


if not FOUND_HERE:

    include: "workflow/rules/labels.smk"


include: "workflow/rules/inventory.smk"
include: "workflow/rules/pictures.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/illumination.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/tuning.smk"


onstart:
    take_over()
    listen()
    write_plan()
    write_sample()
    write_start()


onsuccess:
    hand_back()
    remove_stale()
    remove_unkept()
    remove_untried()
    end()


onerror:
    end()
