"""A network drive that does not answer is a reason why nothing is recorded, and no error."""

from napari_sam_adapter.widgets.record import not_recorded
from napari_sam_adapter.widgets.record.recording import Recording


def test_the_list_of_images_says_that_the_drive_does_not_answer(open_person, folder, silent_drive):
    person = open_person()
    person.controller.session.project.create()
    silent_drive.add(folder)
    listed = []
    person.controller.images.listed.connect(lambda *found: listed.append(found))
    person.controller.images.look()
    assert listed == [([], None, [f"{folder} does not answer: Host is down."])]
    person.controller.opening.open_latest()
    assert person.message == f"{folder} does not answer: Host is down."
    silent_drive.clear()


def test_masks_are_recorded_once_the_drive_answers_and_until_then_one_sentence_says_why(
    open_person, polyps, folder, silent_drive, monkeypatch
):
    monkeypatch.setattr(not_recorded, "RETRY_MS", 50)
    tried, try_again = [], Recording.try_again
    monkeypatch.setattr(
        Recording, "try_again", lambda recording: tried.append(1) or try_again(recording)
    )
    person = open_person()
    person.controller.session.project.create()
    silent_drive.add(folder)
    person.viewer.add_image(polyps.frames, name="image", rgb=True)
    person.wait_for_record()
    person.controller.layers.need()
    person.paint(0)
    recording = person.controller.recording
    person.wait(lambda: recording.problem and len(tried) > 2)
    assert f"{folder} does not answer: Host is down." in recording.problem
    assert recording.is_tried_again
    silent_drive.clear()
    person.wait(lambda: not recording.problem)
    assert recording.record_of(person.controller.binding) is not None
