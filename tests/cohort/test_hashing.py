import hashlib

from semivox.cohort.hashing import sha256_file


def test_the_hash_is_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    (tmp_path / "a").write_bytes(content[:-1])
    assert sha256_file(tmp_path / "a") != hashlib.sha256(content).hexdigest()
