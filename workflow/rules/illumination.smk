# Uneven light: the flat fields of each directory, and what they look like.


localrules:
    illumination_maps,


rule illumination:
    output:
        flat_fields=directory(f"{RESULTS}/illumination/{{directory}}"),
    log:
        f"{RESULTS}/logs/illumination/{{directory}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/illumination/{{directory}}.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=light_mem_mb,
        runtime=light_runtime,
    params:
        plan=ILLUMINATION_PLAN,
        settings=settings_of("illumination"),
        images=light_fingerprint,
        modules=modules("illumination"),
    script:
        "../scripts/illumination.py"


rule illumination_maps:
    input:
        estimates,
    output:
        report(
            f"{RESULTS}/report/illumination.jpg",
            caption="../report/illumination.rst",
            category="2 Quality",
            labels={"page": "Flat fields"},
        ),
    log:
        f"{RESULTS}/logs/illumination_maps.log",
    benchmark:
        f"{RESULTS}/benchmarks/illumination_maps.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        modules=modules("illumination_maps"),
    script:
        "../scripts/illumination_maps.py"
