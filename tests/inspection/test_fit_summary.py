from sklearn.pipeline import make_pipeline

from dephn_sk.inspection import FitSummary


def test_summary_is_of_the_fit(fitted):
    summary = FitSummary.from_estimator(make_pipeline("passthrough", fitted))
    assert summary.name == "DEPHNMultiTaskClassifier"
    assert sum(summary.n_fields.values()) == len(
        fitted.encoder_.get_feature_names_out()
    )
    module = fitted.net_.module_
    assert summary.n_parameters == sum(p.numel() for p in module.parameters())
    assert summary.n_epochs == fitted.n_iter_
    kept = fitted.net_.history[summary.best_epoch - 1]
    scores = [task[3] for task in summary.tasks]
    assert scores == kept["valid_task_score"]


def test_text_and_html_say_the_same(fitted):
    summary = FitSummary.from_estimator(fitted)
    for text in (repr(summary), summary._repr_html_()):
        for word in ("click", "buy", "epochs", f"{summary.n_parameters:,}"):
            assert word in text
        for _, _, _, score in summary.tasks:
            assert f"{score:.4f}" in text


def test_fit_without_validation_has_no_score(mixed):
    summary = FitSummary.from_estimator(mixed)
    assert [task[3] for task in summary.tasks] == [None, None]
    assert "kept" not in repr(summary)


def test_names_are_escaped_in_html():
    summary = FitSummary(
        "Model",
        [("<b>", [0, 1], None, None)],
        n_fields={},
        n_parameters=1,
        n_epochs=1,
    )
    assert "<b>" not in summary._repr_html_()
