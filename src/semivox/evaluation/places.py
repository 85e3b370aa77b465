"""Where a run keeps what it is worth: ``RUN/evaluations/NAME/`` holds ``masks/`` and these files."""

EVALUATIONS, MASKS = "evaluations", "masks"
EVALUATION, SOURCE, CALIBRATION = "evaluation.json", "source.json", "calibration.json"
