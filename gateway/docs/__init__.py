"""The shop described for programs and people: OpenAPI and AsyncAPI."""
