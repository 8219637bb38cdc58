"""Every picture of a run: `style` has all colours, each other module one kind of figure."""
