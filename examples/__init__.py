"""Models and a trained demo that exercise Norn end to end."""
