# Cells, their cytoplasm and rings, from nuclei: only where the config asks for them.


rule cells:
    input:
        labels=f"{RESULTS}/watershed/{{batch}}",
    output:
        **secondary_products(),
    log:
        LOG.format("cells"),
    benchmark:
        BENCHMARK.format("cells")
    priority: 4
    group:
        "batch"
    conda:
        "../envs/nucleiflow.yaml"
    threads: workers
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("cells"),
    params:
        plan=PLAN,
        settings=settings_of("cells"),
        modules=modules("cells"),
    script:
        "../scripts/cells.py"
