"""pgmif, the application: a cohort, a run, what is shown of it, and the command.

From below, each room importing only those on floors beneath it: `cohort` (manifest, checks, folders
that are scanned), `one_patient` (fuse and measure without a cohort), `pages` (HTML); `runs`
(parameters, folders, what runs after what, what is stale, notebooks executed), `figures` (all
colours in `style`); `steps` (one module per notebook, the same stem), `report`; `cli` (the
command), `demonstration` (phantoms in seconds); `viewer`, `lessons`. The science is in
`pgmif_core`, which imports nothing from here.
"""
