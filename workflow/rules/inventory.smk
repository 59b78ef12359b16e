# What is there, before anything runs: `snakemake inventory`.


localrules:
    inventory,


# Without an output (a benchmark is one) it runs whenever it is asked for.
rule inventory:
    log:
        f"{RESULTS}/logs/inventory.log",
    conda:
        "../envs/nucleiflow.yaml"
    threads: 32
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        table=f"{RESULTS}/inventory.csv",
        plans=os.path.dirname(PLAN),
        view=VIEW,
        dataset=facts,
        plate_map=plate_map(),
        pixel_size_um=CONFIG["pixel_size_um"],
    script:
        "../scripts/inventory.py"
