# Pictures to look at: the outlines on every image.


rule overlay:
    input:
        **labelled("cells"),
        # Not used. Stages one after another ask for the CPUs and memory of one stage, not of two.
        measured=ancient(f"{RESULTS}/measure/{{batch}}"),
    output:
        overlay=directory(f"{RESULTS}/overlay/{{batch}}"),
    log:
        LOG.format("overlay"),
    benchmark:
        BENCHMARK.format("overlay")
    priority: 6
    group:
        "batch"
    conda:
        "../envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("overlay"),
    params:
        plan=PLAN,
        settings=settings_of("overlay"),
        modules=modules("overlay"),
    script:
        "../scripts/overlay.py"
