"""A Hugging Face Hub in this process, with the faults that a test plants."""
