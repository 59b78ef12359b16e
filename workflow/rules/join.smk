# Label images of tiles made into one, where the config cuts large images.


rule join:
    input:
        labels=f"{RESULTS}/{FOLDERS['tiles']}/{{batch}}",
    output:
        **products("labels"),
    log:
        LOG.format("join"),
    benchmark:
        BENCHMARK.format("join")
    priority: 4
    group:
        "batch"
    conda:
        "../envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("join", {}),
    params:
        plan=PLAN,
        settings={},
        modules=modules("join"),
    script:
        "../scripts/join.py"
