"""A handoff packet in the forms that models' clients take, one file each; none of them imports its vendor to do so."""
