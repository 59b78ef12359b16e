# Labels that were made elsewhere, in the place of those that the watershed makes.


ruleorder: labels > watershed


rule labels:
    output:
        **products("labels"),
    log:
        LOG.format("labels"),
    benchmark:
        BENCHMARK.format("labels")
    priority: 4
    group:
        "batch"
    conda:
        "../envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("labels", {}),
    params:
        plan=PLAN,
        settings={"view": VIEW},
        images=fingerprint,
        label_files=labels_fingerprint,
        modules=modules("import_labels"),
    script:
        "../scripts/import_labels.py"
