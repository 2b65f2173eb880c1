"""The scikit-learn estimators, and what a user may give them."""
