"""How the model of the main-text extractor is made and measured; nothing here is needed to extract text."""
