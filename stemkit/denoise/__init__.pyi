from ._base import Denoiser as Denoiser
from ._blind_spot import BlindSpotDenoiser as BlindSpotDenoiser
from ._classical import GaussianDenoiser as GaussianDenoiser, LoGRenderDenoiser as LoGRenderDenoiser
from ._matched import MatchedDenoiser as MatchedDenoiser
from ._network import NetworkDenoiser as NetworkDenoiser
from ._pinned import PINNEDDenoiser as PINNEDDenoiser
from ._scgn import SCGNDenoiser as SCGNDenoiser
from ._split import SplitPairs as SplitPairs
from ._supervised import SupervisedDenoiser as SupervisedDenoiser
from ._udvd import UDVDDenoiser as UDVDDenoiser
