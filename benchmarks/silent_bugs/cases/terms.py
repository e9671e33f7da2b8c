"""Terms of a loss that train nothing, or not what they should."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from benchmarks.silent_bugs.case import Batch, Losses, Training, case, labelled, network


@case(
    "The adversarial term is turned into a Python number, so that it has no gradient.",
    "https://github.com/guopengf/FL-MRCM/issues/10",
)
def item(*, mistake: bool) -> Training:
    """Reconstruct images, against a discriminator."""
    model = network(outputs=8)
    discriminator = nn.Linear(8, 1).requires_grad_(requires_grad=False)

    def losses(batch: Batch) -> Losses:
        restored = model(batch["features"])
        adversarial = F.softplus(-discriminator(restored)).mean()
        return Losses(
            {
                "distance": F.l1_loss(restored, batch["features"]),
                "adversarial": adversarial.item() if mistake else adversarial,
            }
        )

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)


@case(
    "The term that ties two levels of a hierarchy compares the argmax of both, which has no "
    "gradient.",
    "https://github.com/Ugenteraan/Deep_Hierarchical_Classification/issues/6",
)
def argmax(*, mistake: bool) -> Training:
    """Classify on two levels that have to agree."""
    model = network(outputs=3 + 6)
    parents = torch.arange(6) // 2

    def losses(batch: Batch) -> Losses:
        coarse, fine = model(batch["features"]).split([3, 6], dim=1)
        if mistake:
            apart = (parents[fine.argmax(dim=1)] != coarse.argmax(dim=1)).float().mean()
        else:
            together = coarse.softmax(dim=1)[:, parents] * fine.softmax(dim=1)
            apart = 1 - together.sum(dim=1).mean()
        return Losses(
            {
                "coarse": F.cross_entropy(coarse, batch["labels"]),
                "fine": F.cross_entropy(fine, 2 * batch["labels"]),
                "dependency": apart,
            }
        )

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)


@case(
    "The loss on the speaker takes a spectrogram that is computed under no_grad, so that the "
    "generator learns nothing from it.",
    "https://github.com/coqui-ai/TTS/issues/2348",
)
def spectrogram_without_gradient(*, mistake: bool) -> Training:
    """Generate sound that keeps its speaker."""
    generator = network(outputs=32)
    speaker = nn.Linear(17, 4).requires_grad_(requires_grad=False)

    def losses(batch: Batch) -> Losses:
        sound = generator(batch["features"])
        target = batch["features"].repeat(1, 4)
        with torch.set_grad_enabled(not mistake):
            spectrogram = torch.fft.rfft(sound).abs()
        voices = speaker(spectrogram), speaker(torch.fft.rfft(target).abs())
        return Losses(
            {
                "sound": F.l1_loss(sound, target),
                "speaker": 1 - F.cosine_similarity(*voices).mean(),
            }
        )

    return Training(generator, torch.optim.Adam(generator.parameters()), labelled(), losses)


@case(
    "The distillation compares the logits of the teacher with themselves.",
    "https://github.com/labmlai/annotated_deep_learning_paper_implementations/issues/66",
)
def teacher_twice(*, mistake: bool) -> Training:
    """Distil a large network into a small one."""
    teacher, student = network(), nn.Linear(8, 3)

    def losses(batch: Batch) -> Losses:
        with torch.no_grad():
            large_logits = teacher(batch["features"])
        logits = student(batch["features"])
        compared = large_logits if mistake else logits
        wanted = large_logits.softmax(dim=1)
        soft = F.kl_div(compared.log_softmax(dim=1), wanted, reduction="batchmean")
        return Losses({"soft": soft, "hard": F.cross_entropy(logits, batch["labels"])})

    return Training(student, torch.optim.Adam(student.parameters()), labelled(), losses)


@case(
    "The generator's own step shows the discriminator a detached copy of what it made.",
    "https://github.com/nikhilsinghmus/image2reverb/issues/37",
)
def detached_fake(*, mistake: bool) -> Training:
    """Train the generator of a GAN, with a distance beside the adversarial term."""
    generator, discriminator = network(outputs=8), nn.Linear(8, 1)

    def losses(batch: Batch) -> Losses:
        fake = generator(batch["features"])
        judged = discriminator(fake.detach() if mistake else fake)
        return Losses(
            {
                "adversarial": F.mse_loss(judged, torch.ones_like(judged)),
                "distance": F.l1_loss(fake, batch["features"]),
            }
        )

    return Training(generator, torch.optim.Adam(generator.parameters()), labelled(), losses)


@case(
    "The log-probabilities of an episode are collected into a new tensor, which has no graph.",
    "https://github.com/Quantum-Cheese/DeepReinforcementLearning_Pytorch/issues/1",
)
def rewrapped_log_probs(*, mistake: bool) -> Training:
    """Train an actor and a critic on the steps of an episode."""
    model = nn.ModuleDict({"body": nn.Linear(8, 16), "actor": nn.Linear(16, 3)})
    model["critic"] = nn.Linear(16, 1)

    def losses(batch: Batch) -> Losses:
        memory = []
        for step, action in zip(batch["features"], batch["labels"], strict=True):
            hidden = model["body"](step).tanh()
            log_probs = model["actor"](hidden).log_softmax(dim=0)
            memory.append((log_probs[action], model["critic"](hidden)[0]))
        chosen, values = zip(*memory, strict=True)
        value = torch.stack(values)
        log_prob = torch.stack(chosen)
        if mistake:
            log_prob = torch.tensor([number.item() for number in chosen])
        advantage = batch["labels"] - value
        return Losses(
            {
                "policy": -(log_prob * advantage.detach()).mean(),
                "value": advantage.square().mean(),
            }
        )

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)
