"""Files of torch are read on the CPU, with their checksums and without their code."""

import io
import pickle
import zipfile

import pytest
import torch

from stemkit.engine._torch_file import load_torch_file

CONTENT = {"weight": torch.arange(12.0).reshape(3, 4), "step": 7}


def written(**options):
    file = io.BytesIO()
    torch.save(CONTENT, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
def test_both_layouts_are_read(zipped):
    content = written(_use_new_zipfile_serialization=zipped)
    assert zipfile.is_zipfile(io.BytesIO(content)) == zipped
    found = load_torch_file(content)
    assert found["step"] == 7
    assert torch.equal(found["weight"], CONTENT["weight"])
    assert found["weight"].device == torch.device("cpu")


def test_a_wrong_byte_of_a_weight_is_an_error():
    content = bytearray(written())
    at = content.find(CONTENT["weight"].numpy().tobytes())
    assert at > 0
    content[at + 5] ^= 1
    # torch reads the wrong value without an error.
    assert not torch.equal(torch.load(io.BytesIO(content))["weight"], CONTENT["weight"])
    with pytest.raises(zipfile.BadZipFile, match="another checksum"):
        load_torch_file(bytes(content))


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_code_is_not_executed(capsys):
    file = io.BytesIO()
    torch.save({"weight": Malicious()}, file)
    with pytest.raises(pickle.UnpicklingError):
        load_torch_file(file.getvalue())
    assert capsys.readouterr().out == ""
