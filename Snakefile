# nucleiflow: directories of fluorescence images in, a row for every nucleus out.
#
# One job handles one batch (some images of one directory) in one stage; the stages of a batch
# are one group, which is one Slurm job. What is science stands in config/, what is the machine's
# in profiles/.


configfile: f"{workflow.current_basedir}/config/config.yaml"


include: "workflow/rules/common.smk"


localrules:
    all,


rule all:
    input:
        everything,
    default_target: True


rule preprocess:
    output:
        **products("preprocessed", "channel"),
    params:
        plan=PLAN,
        settings=settings_of("preprocess"),
        images=fingerprint,
        modules=modules("preprocess"),
    log:
        LOG.format("preprocess"),
    benchmark:
        BENCHMARK.format("preprocess")
    group:
        "batch"
    priority: 1
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    conda:
        "workflow/envs/nucleiflow.yaml"
    script:
        "workflow/scripts/preprocess.py"


rule threshold:
    input:
        preprocessed=f"{RESULTS}/preprocess/{{batch}}",
    output:
        **products("mask"),
    params:
        plan=PLAN,
        settings=settings_of("threshold"),
        modules=modules("threshold"),
    log:
        LOG.format("threshold"),
    benchmark:
        BENCHMARK.format("threshold")
    group:
        "batch"
    priority: 2
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    conda:
        "workflow/envs/nucleiflow.yaml"
    script:
        "workflow/scripts/threshold.py"


rule markers:
    input:
        mask=f"{RESULTS}/threshold/{{batch}}",
    output:
        **products(
            "markers", "sure_background", "sure_foreground", "unknown", "distance"
        ),
    params:
        plan=PLAN,
        settings=settings_of("markers"),
        modules=modules("markers"),
    log:
        LOG.format("markers"),
    benchmark:
        BENCHMARK.format("markers")
    group:
        "batch"
    priority: 3
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    conda:
        "workflow/envs/nucleiflow.yaml"
    script:
        "workflow/scripts/markers.py"


rule watershed:
    input:
        markers=f"{RESULTS}/markers/{{batch}}",
        mask=f"{RESULTS}/threshold/{{batch}}",
    output:
        **products("labels"),
    params:
        plan=PLAN,
        settings=settings_of("watershed"),
        modules=modules("watershed"),
    log:
        LOG.format("watershed"),
    benchmark:
        BENCHMARK.format("watershed")
    group:
        "batch"
    priority: 4
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    conda:
        "workflow/envs/nucleiflow.yaml"
    script:
        "workflow/scripts/watershed.py"


rule measure:
    input:
        labels=f"{RESULTS}/watershed/{{batch}}",
    output:
        csv=directory(f"{RESULTS}/measure/{{batch}}"),
    params:
        plan=PLAN,
        settings=settings_of("measure"),
        modules=modules("measure"),
    log:
        LOG.format("measure"),
    benchmark:
        BENCHMARK.format("measure")
    group:
        "batch"
    priority: 5
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    conda:
        "workflow/envs/nucleiflow.yaml"
    script:
        "workflow/scripts/measure.py"


include: "workflow/rules/pictures.smk"
include: "workflow/rules/tables.smk"


onstart:
    write_plan()


onsuccess:
    remove_stale()
