"""The rules of battles: plain functions that ``specialise`` compiles."""
