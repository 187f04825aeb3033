"""What tools/mutate is made of: sites (what to change), tree (builds), coverage, suites, known."""
