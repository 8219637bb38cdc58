"""pgmif: the application. A cohort, a run, what is shown of it, and the command."""
