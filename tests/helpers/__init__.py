"""What tests of several rooms share: the oracle, cases, guards."""
