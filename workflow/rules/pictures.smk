# Pictures to look at: the outlines on every image, and a few of them for the report.


localrules:
    contact_sheet,


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
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        plan=PLAN,
        settings=settings_of("overlay"),
        modules=modules("overlay"),
    script:
        "../scripts/overlay.py"


rule contact_sheet:
    input:
        images=f"{RESULTS}/images.csv",
        overlays=overlays,
    output:
        report(
            f"{RESULTS}/report/overlays.jpg",
            caption="../report/overlays.rst",
            category="Pictures",
        ),
    log:
        f"{RESULTS}/logs/contact_sheet.log",
    benchmark:
        f"{RESULTS}/benchmarks/contact_sheet.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        modules=modules("contact_sheet"),
    script:
        "../scripts/contact_sheet.py"
