"""Parts of the compare page: what is chosen, the result, where models differ, ensembles."""
