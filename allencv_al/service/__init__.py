"""The web faces: a demo of a model, a page to label on, a pipeline; routes only, logic below."""
