"""The compression dictionary: reproducible, and worth its place."""

import orjson
import zstandard

from app import contracts
from app.simulation import dictionary

KEPT = contracts.folder("sillage", "statement-1.zdict")


def test_the_dictionary_kept_is_the_one_that_training_gives():
    assert dictionary.train(dictionary.samples()) == KEPT.read_bytes()


def test_samples_are_statements_with_the_fields_that_the_store_stamps():
    samples = [orjson.loads(sample) for sample in dictionary.samples(seed=5, each=50)]
    assert len(samples) == 150
    for sample in samples:
        assert {"id", "actor", "verb", "object", "timestamp", "stored", "authority", "version"} <= set(sample)
        assert set(sample["actor"]) == {"objectType", "account"}


def test_statements_of_another_seed_shrink_to_a_sixth():
    prepared = zstandard.ZstdCompressionDict(KEPT.read_bytes())
    compressor = zstandard.ZstdCompressor(level=3, dict_data=prepared, write_dict_id=False)
    opener = zstandard.ZstdDecompressor(dict_data=prepared)
    samples = list(dictionary.samples(seed=77, each=300))
    packed = [compressor.compress(sample) for sample in samples]
    assert [opener.decompress(each) for each in packed] == samples
    assert sum(map(len, packed)) < sum(map(len, samples)) / 6
