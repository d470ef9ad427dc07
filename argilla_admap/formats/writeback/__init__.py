"""The original file again, with only its corrected rows changed."""
