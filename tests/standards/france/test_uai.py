"""UAI: form and key letter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.standards.france import uai


@pytest.mark.parametrize("code", ["0750654D", "0752524L", "0920131T"])
def test_real_codes_are_valid(code):
    assert uai.valid(code)


@pytest.mark.parametrize(
    "code", ["0750001D", "0750654d", " 0750654D", "0750654D\n", "750654D", "07506540", "0750654I", "٠750654D", ""]
)
def test_wrong_key_or_form_is_not(code):
    assert not uai.valid(code)


@given(st.integers(0, 999), st.integers(0, 9999), st.integers(1, 22))
def test_a_made_code_is_valid_and_no_other_letter_fits(departement, serial, shift):
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
    code = uai.make(f"{departement:03d}", serial)
    assert uai.valid(code)
    assert not uai.valid(code[:7] + letters[(letters.index(code[7]) + shift) % 23])


@pytest.mark.parametrize(("departement", "serial"), [("75", 1), ("2A0", 1), ("075", -1), ("075", 10_000)])
def test_a_code_is_not_made_out_of_bounds(departement, serial):
    with pytest.raises(ValueError, match="three digits"):
        uai.make(departement, serial)
