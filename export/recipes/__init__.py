"""One recipe file per model; see `cineflow.export.recipe` for what a recipe defines."""
