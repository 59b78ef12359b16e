# How good is it? `snakemake evaluate` compares labels with masks that somebody drew.


localrules:
    evaluate_tables,
    evaluate,


rule evaluate_batch:
    input:
        labels=f"{RESULTS}/watershed/{{batch}}",
    output:
        evaluation=directory(f"{RESULTS}/evaluate/batches/{{batch}}"),
    log:
        LOG.format("evaluate"),
    benchmark:
        BENCHMARK.format("evaluate")
    priority: 7
    conda:
        "../envs/nucleiflow.yaml"
    threads: 4
    resources:
        mem_mb=mem_mb,
        runtime=runtime_of("evaluate"),
    params:
        plan=PLAN,
        settings=settings_of("evaluate"),
        masks=evaluate_fingerprint,
        modules=modules("evaluate"),
    script:
        "../scripts/evaluate.py"


rule evaluate_tables:
    input:
        batches=evaluated,
    output:
        images=f"{RESULTS}/evaluate/images.csv",
        objects=f"{RESULTS}/evaluate/objects.csv",
        overall=report(
            f"{RESULTS}/evaluate/overall.csv",
            caption="../report/evaluate_overall.rst",
            category="8 Accuracy",
            labels={"page": "Scores at each limit"},
        ),
        scores=report(
            f"{RESULTS}/evaluate/scores.svg",
            caption="../report/evaluate_scores.rst",
            category="8 Accuracy",
            labels={"page": "Scores by the limit of IoU"},
        ),
        counts=report(
            f"{RESULTS}/evaluate/counts.svg",
            caption="../report/evaluate_counts.rst",
            category="8 Accuracy",
            labels={"page": "Found against true numbers"},
        ),
        offsets=report(
            f"{RESULTS}/evaluate/offsets.svg",
            caption="../report/evaluate_offsets.rst",
            category="8 Accuracy",
            labels={"page": "Offsets of outlines"},
        ),
        worst=report(
            directory(f"{RESULTS}/evaluate/worst"),
            patterns=["{image}.jpg"],
            caption="../report/evaluate_worst.rst",
            category="8 Accuracy",
            subcategory="Worst images",
            labels={"image": "{image}"},
        ),
    log:
        f"{RESULTS}/logs/evaluate_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate_tables.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings={
            "thresholds": sorted(CONFIG["evaluate"]["thresholds"]),
            "worst": CONFIG["evaluate"]["worst"],
        },
        modules=modules("evaluate_tables"),
    script:
        "../scripts/evaluate_tables.py"


rule evaluate:
    input:
        images=f"{RESULTS}/evaluate/images.csv",
        overall=f"{RESULTS}/evaluate/overall.csv",
        # Not used. A target is complete with all that its report shows.
        worst=f"{RESULTS}/evaluate/worst",
    output:
        f"{RESULTS}/evaluate/summary.txt",
    log:
        f"{RESULTS}/logs/evaluate.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate.tsv"
    conda:
        "../envs/nucleiflow.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        max_failed=CONFIG["max_failed"],
        unmasked=unmasked,
        modules=modules("evaluate_summary"),
    script:
        "../scripts/evaluate_summary.py"
