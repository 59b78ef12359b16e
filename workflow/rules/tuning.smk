# The tools to tune: `snakemake preview`, a sample of the images with the config as it is, and
# `snakemake sweep`, the same sample with many settings. Both go through the same stages.


localrules:
    preview,
    sweep,


resource_scopes:
    settings_at_once="local",


rule tune_preprocess:
    input:
        sample_flat_fields,
    output:
        preprocessed=directory(TUNED.format("preprocess")),
        channel=directory(TUNED.format("channel")),
    log:
        TUNING_LOG.format("preprocess"),
    benchmark:
        TUNING_BENCHMARK.format("preprocess")
    group:
        "sample"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=sample_mem_mb,
        runtime=sample_runtime,
        settings_at_once=1,
    params:
        plan=SAMPLE_PLAN,
        settings=tuned("preprocess"),
        images=sample_fingerprint,
        modules=modules("preprocess"),
    script:
        "../scripts/preprocess.py"


rule tune_threshold:
    input:
        preprocessed=before("threshold", "preprocess"),
    output:
        mask=directory(TUNED.format("threshold")),
    log:
        TUNING_LOG.format("threshold"),
    benchmark:
        TUNING_BENCHMARK.format("threshold")
    group:
        "sample"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=sample_mem_mb,
        runtime=sample_runtime,
        settings_at_once=1,
    params:
        plan=SAMPLE_PLAN,
        settings=tuned("threshold"),
        modules=modules("threshold"),
    script:
        "../scripts/threshold.py"


rule tune_markers:
    input:
        mask=before("markers", "threshold"),
        preprocessed=before("markers", "preprocess"),
    output:
        markers=directory(TUNED.format("markers")),
    log:
        TUNING_LOG.format("markers"),
    benchmark:
        TUNING_BENCHMARK.format("markers")
    group:
        "sample"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=sample_mem_mb,
        runtime=sample_runtime,
        settings_at_once=1,
    params:
        plan=SAMPLE_PLAN,
        settings=tuned("markers"),
        seeds=tuned_seeds,
        modules=modules("markers"),
    script:
        "../scripts/markers.py"


rule tune_watershed:
    input:
        sample_flat_fields,
        markers=before("watershed", "markers"),
        mask=before("watershed", "threshold"),
        preprocessed=before("watershed", "preprocess"),
    output:
        labels=directory(TUNED.format("watershed")),
    log:
        TUNING_LOG.format("watershed"),
    benchmark:
        TUNING_BENCHMARK.format("watershed")
    group:
        "sample"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=sample_mem_mb,
        runtime=sample_runtime,
        settings_at_once=1,
    params:
        plan=SAMPLE_PLAN,
        settings=tuned("watershed"),
        modules=modules("watershed"),
    script:
        "../scripts/watershed.py"


rule preview:
    input:
        labels=previewed("watershed"),
        markers=previewed("markers"),
        mask=previewed("threshold"),
        channel=previewed("channel"),
    output:
        report(
            f"{RESULTS}/preview/preview.jpg",
            caption="../report/preview.rst",
            category="9 Tuning",
            labels={"page": "Preview"},
        ),
    log:
        f"{RESULTS}/logs/preview.log",
    benchmark:
        f"{RESULTS}/benchmarks/preview.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        plans=plans_of_sample,
        outlines=outlines_of(CONFIG),
        sample=CONFIG["sample"],
        modules=modules("preview"),
    script:
        "../scripts/preview.py"


rule sweep:
    input:
        labels=swept("watershed"),
        channel=swept("channel"),
    output:
        report(
            directory(f"{RESULTS}/sweep"),
            patterns=["{name}.jpg", "{name}.svg", "{name}.csv"],
            caption="../report/sweep.rst",
            category="9 Tuning",
            labels={"page": "{name}"},
        ),
    log:
        f"{RESULTS}/logs/sweep.log",
    benchmark:
        f"{RESULTS}/benchmarks/sweep.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        plans=plans_of_sample,
        settings=settings_tried,
        folder=TUNING,
        sample=CONFIG["sample"],
        masks=SWEEP["masks"],
        masks_fingerprint=masks_fingerprint,
        modules=modules("sweep"),
    script:
        "../scripts/sweep.py"
