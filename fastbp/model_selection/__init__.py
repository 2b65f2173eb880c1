"""Many networks at once: `fit_many` and `BackpropSearchCV`."""
