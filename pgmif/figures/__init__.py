"""Every picture of a run: `colours` has all of them, `style` the page, each other module one kind."""
