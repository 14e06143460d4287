"""The compression dictionaries: reproducible, and worth their place."""

import orjson
import pytest
import zstandard

from app.core import contracts
from app.crypto.bodies import DICTIONARIES, LATEST
from app.simulation import dictionary


def kept(number: int) -> bytes:
    return contracts.folder("sillage", DICTIONARIES[number]).read_bytes()


def shrunk(number: int, samples: list[bytes]) -> float:
    """Packed bytes for each byte of statements."""
    prepared = zstandard.ZstdCompressionDict(kept(number))
    compressor = zstandard.ZstdCompressor(level=3, dict_data=prepared, write_dict_id=False)
    opener = zstandard.ZstdDecompressor(dict_data=prepared)
    packed = [compressor.compress(sample) for sample in samples]
    assert [opener.decompress(each) for each in packed] == samples
    return sum(map(len, packed)) / sum(map(len, samples))


@pytest.mark.long
@pytest.mark.parametrize("number", DICTIONARIES)
def test_each_dictionary_kept_is_the_one_that_training_gives(number: int):
    assert dictionary.train(dictionary.samples(), dictionary.SIZES[number]) == kept(number)


def test_samples_are_statements_with_the_fields_that_the_store_stamps():
    samples = [orjson.loads(sample) for sample in dictionary.samples(seed=5, each=50)]
    assert len(samples) == 150
    for sample in samples:
        assert {"id", "actor", "verb", "object", "timestamp", "stored", "authority", "version"} <= set(sample)
        assert set(sample["actor"]) == {"objectType", "account"}


def test_statements_of_another_seed_shrink_to_less_than_a_sixth():
    samples = list(dictionary.samples(seed=77, each=300))
    assert shrunk(LATEST, samples) < 0.95 / 6


def test_a_dictionary_is_trained_for_each_format():
    assert set(dictionary.SIZES) == set(DICTIONARIES)
