"""What is made of a bench's JSON: a page, pictures, tables, a comparison, assertions."""
