"""The numbered adapter versions of a folder."""

import errno
import json
import os

import pytest

from napari_sam_adapter.errors import CheckpointError, StorageError, TrainingError
from napari_sam_adapter.versions.adapter_store import AdapterStore
from tests.versions.adapter_files import adapter_file


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "store")


@pytest.fixture
def filled(store) -> AdapterStore:
    for number in (1, 2, 3):
        adapter_file(store.path_of(number), f"id {number}")
    return store


def numbers(store: AdapterStore) -> list[int]:
    return [version.number for version in store.versions()]


def damage(store: AdapterStore, number: int) -> None:
    store.path_of(number).write_bytes(b"damaged")


def test_a_folder_that_was_moved_is_not_made_again_at_its_old_place(filled):
    assert filled.active.number == 3
    moved = filled.folder.rename(filled.folder.with_name("moved"))
    for change in (
        lambda: filled.set_active(None),
        lambda: filled.set_active(2),
        lambda: filled.describe(1, "name", "note"),
        lambda: filled.use(3),
    ):
        with pytest.raises(StorageError, match="moved or renamed"):
            change()
    assert not filled.folder.exists()
    moved.rename(filled.folder)
    filled.set_active(2)
    assert filled.active.number == 2


def test_a_number_is_taken_by_a_whole_file_or_not_at_all(filled, monkeypatch):
    """Whatever is there at any moment at which the program might be killed."""
    seen = []

    def looking(function):
        def look_then(*arguments, **options):
            result = function(*arguments, **options)
            seen.append([path.stat().st_size for path in filled.folder.glob("adapter-*")])
            return result

        return look_then

    for name in ("link", "unlink", "replace"):
        monkeypatch.setattr(os, name, looking(getattr(os, name)))
    new = adapter_file(filled.working_path(), "id 4")
    filled.adopt(new)
    assert seen
    assert all(all(sizes) for sizes in seen)
    assert not new.exists()


def test_without_links_a_number_is_taken_all_the_same(filled, monkeypatch):
    def link(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    filled.path_of(4).touch()  # another window takes it at this moment
    assert filled.adopt(adapter_file(filled.working_path(), "id 5")).number == 5
    assert numbers(filled) == [1, 2, 3, 5]


def test_what_a_killed_program_has_left_is_no_damaged_version_and_goes_after_a_day(filled):
    filled.path_of(4).touch()
    old, new = (filled.folder / f"..new-1.safetensors.0123456{n}" for n in "78")
    for path in (old, new):
        path.write_bytes(b"half an adapter")
    kept = adapter_file(filled.working_path(), "not adopted")
    for path in (old, kept):
        os.utime(path, (0, 0))
    assert numbers(filled) == [1, 2, 3]
    assert filled.unreadable == []
    assert filled.adopt(adapter_file(filled.working_path(), "id 5")).number == 5
    assert not old.exists()
    assert new.exists()
    assert kept.exists()  # it is whole, and nobody else has it


def test_a_store_without_a_folder_is_empty(store):
    assert store.versions() == []
    assert store.active is None
    assert store.next_number() == 1


def test_versions_are_listed_oldest_first(store):
    for number in (2, 10_000, 11, 1):
        adapter_file(store.path_of(number), f"id {number}")
    assert numbers(store) == [1, 2, 11, 10_000]


def test_the_next_number_follows_the_largest(store):
    for number in (1, 7):
        adapter_file(store.path_of(number), f"id {number}")
    assert store.next_number() == 8


def test_a_damaged_file_keeps_its_number(filled):
    damage(filled, 3)
    assert filled.next_number() == 4


def test_other_files_in_the_folder_are_none_of_the_stores_business(filled):
    for name in ("notes.txt", "adapter-1.safetensors", ".adapter-0009.safetensors.x1"):
        (filled.folder / name).write_text("other")
    assert numbers(filled) == [1, 2, 3]
    assert filled.unreadable == []


def test_a_damaged_file_is_skipped_and_named(filled):
    damage(filled, 2)
    assert numbers(filled) == [1, 3]
    (message,) = filled.unreadable
    assert "adapter-0002.safetensors" in message


def test_a_mended_file_is_no_longer_unreadable(filled):
    damage(filled, 2)
    filled.versions()
    adapter_file(filled.path_of(2), "id 2")
    assert numbers(filled) == [1, 2, 3]
    assert filled.unreadable == []


def test_the_newest_version_is_active_unless_another_was_chosen(filled):
    assert filled.active.number == 3
    filled.set_active(1)
    assert filled.active.number == 1


def test_the_choice_survives_in_the_folder(filled):
    filled.set_active(2)
    assert AdapterStore(filled.folder).active.number == 2


def test_the_base_model_can_be_chosen(filled):
    filled.set_active(None)
    assert filled.active is None


def test_a_version_that_does_not_exist_cannot_be_chosen(filled):
    with pytest.raises(CheckpointError, match="no version 9"):
        filled.set_active(9)
    assert filled.active.number == 3


def test_a_damaged_version_cannot_be_chosen(filled):
    damage(filled, 2)
    with pytest.raises(CheckpointError, match=r"adapter-0002\.safetensors"):
        filled.set_active(2)


def test_the_newest_readable_version_stands_in_for_an_active_one_that_broke(filled):
    filled.set_active(3)
    damage(filled, 3)
    assert filled.active.number == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"active": "2"}', "\udcff"])
def test_a_damaged_note_of_the_choice_falls_back_to_the_newest(filled, content):
    (filled.folder / "active.json").write_bytes(content.encode(errors="surrogateescape"))
    assert filled.active.number == 3


def test_an_imported_file_becomes_the_next_version(filled, tmp_path):
    source = adapter_file(tmp_path / "mailed.safetensors", "id x")
    version = filled.import_file(source)
    assert version.number == 4
    assert version.path.read_bytes() == source.read_bytes()
    assert numbers(filled) == [1, 2, 3, 4]


def test_importing_a_file_twice_adds_it_once(filled, tmp_path):
    source = adapter_file(tmp_path / "mailed.safetensors", "id x")
    first, second = filled.import_file(source), filled.import_file(source)
    assert first == second
    assert numbers(filled) == [1, 2, 3, 4]


def test_a_file_that_is_no_adapter_is_not_imported(filled, tmp_path):
    (tmp_path / "notes.safetensors").write_text("notes")
    with pytest.raises(CheckpointError):
        filled.import_file(tmp_path / "notes.safetensors")
    assert numbers(filled) == [1, 2, 3]


def test_an_exported_version_is_the_same_file(filled, tmp_path):
    filled.export(2, tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.safetensors").read_bytes() == filled.path_of(2).read_bytes()


def test_a_failed_export_says_so(filled, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not be written"):
        filled.export(2, tmp_path / "file" / "mine.safetensors")


def test_a_full_disk_while_exporting_keeps_what_was_there(filled, tmp_path, monkeypatch):
    target = tmp_path / "mine.safetensors"
    target.write_bytes(b"an older export")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        filled.export(2, target)
    assert target.read_bytes() == b"an older export"


def test_the_label_tells_number_gear_slices_and_score(store):
    adapter_file(store.path_of(4), "id", n_slices=12, held_out_dice_after=0.812)
    assert store.get(4).label == "v4 · full · 12 slices · held-out Dice 0.81"


def test_the_label_of_a_version_that_learned_one_slice_says_so_in_the_singular(store):
    adapter_file(store.path_of(1), "id", n_slices=1)
    assert store.get(1).label == "v1 · full · 1 slice"


def test_the_label_leaves_out_a_score_that_was_not_taken(store):
    adapter_file(store.path_of(1), "id", n_slices=3, held_out_dice_after=None)
    assert "Dice" not in store.get(1).label


def test_classes_are_told_with_their_scores_or_in_a_row_where_none_was_taken(store):
    names = ("tumour", "cyst")
    adapter_file(store.path_of(1), "one", names, held_out_dice_classes={})
    adapter_file(store.path_of(2), "two", names, held_out_dice_classes={"tumour": 0.5})
    assert "classes: tumour, cyst" in store.get(1).details().splitlines()
    assert store.get(2).details().splitlines()[-2:] == [
        "tumour: held-out Dice 0.50",
        "cyst: not in the held-out slices",
    ]


def test_the_note_of_the_choice_is_plain_json(filled):
    filled.set_active(2)
    assert json.loads((filled.folder / "active.json").read_text()) == {
        "format": "napari-sam-adapter version in use",
        "schema_version": 1,
        "active": 2,
    }


def test_names_and_notes_stay_with_their_version(filled):
    filled.describe(2, " good on flat polyps ", "trained on Monday's slices")
    again = AdapterStore(filled.folder)
    assert again.get(2).title == "v2 good on flat polyps"
    assert again.get(2).note == "trained on Monday's slices"
    assert [version.title for version in again.versions()] == ["v1", "v2 good on flat polyps", "v3"]


def test_a_deleted_version_is_gone_but_still_explained_and_its_number_never_given_again(filled):
    filled.set_active(1)
    card = filled.get(3).card
    filled.delete(3)
    assert numbers(filled) == [1, 2]
    (deleted,) = filled.deleted()
    assert (deleted.number, deleted.card) == (3, card)
    assert filled.next_number() == 4


def test_the_version_in_use_is_not_deleted(filled):
    filled.set_active(2)
    with pytest.raises(TrainingError, match="v2 is in use"):
        filled.delete(2)
    assert numbers(filled) == [1, 2, 3]


def test_a_version_that_was_held_back_is_not_in_use_unless_somebody_chose_it(filled):
    adapter_file(filled.path_of(4), "worse", held_out_scores=[["a", 0.8, 0.5]])
    assert filled.active.number == 3
    filled.set_active(4)
    assert filled.active.number == 4


NEWER = {"schema_version": 99, "active": 1, "more": "of tomorrow", "versions": {}}
FORMATS = {
    "active.json": "napari-sam-adapter version in use",
    "versions.json": "napari-sam-adapter versions",
}


def newer(store: AdapterStore, name: str) -> str:
    content = json.dumps({"format": FORMATS[name], **NEWER})
    (store.folder / name).write_text(content)
    return content


def test_names_of_a_newer_program_are_left_alone_and_the_person_is_told(filled):
    content = newer(filled, "versions.json")
    with pytest.raises(StorageError, match="schema version 99"):
        filled.describe(2, "mine", "")
    assert (filled.folder / "versions.json").read_text() == content
    assert numbers(filled) == [1, 2, 3]
    (message,) = filled.unreadable
    assert "schema version 99" in message
    assert "no names and notes here" in message


def test_a_choice_of_a_newer_program_is_left_alone_and_opens_nothing(filled):
    content = newer(filled, "active.json")
    for act in (lambda: filled.active, lambda: filled.base, lambda: filled.set_active(2)):
        with pytest.raises(StorageError, match="schema version 99"):
            act()
    with pytest.raises(StorageError, match="schema version 99"):
        filled.delete(2)
    assert (filled.folder / "active.json").read_text() == content
    assert numbers(filled) == [1, 2, 3]


def test_a_newer_choice_without_a_format_is_refused_too(filled):
    (filled.folder / "active.json").write_text('{"active": 1, "schema_version": 2}')
    with pytest.raises(StorageError, match="schema version 2"):
        filled.set_active(2)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": "else"}', '{"format": "%s", "schema_version": 1, %s}']
)
@pytest.mark.parametrize("name", list(FORMATS))
def test_a_damaged_file_is_kept_under_another_name_and_said(filled, name, content):
    broken = '"versions": {"2": "torn"}' if name == "versions.json" else '"active'
    content = content.replace("%s", FORMATS[name], 1).replace("%s", broken)
    (filled.folder / name).write_text(content)
    assert numbers(filled) == [1, 2, 3]
    (message,) = filled.unreadable
    assert name in message
    filled.describe(2, "mine", "")
    filled.set_active(1)
    assert filled.get(2).name == "mine"
    assert filled.active.number == 1
    assert (filled.folder / f"{name}.damaged").read_text() == content
    assert numbers(filled) == [1, 2, 3]
    assert filled.unreadable == []


def test_a_second_damaged_file_does_not_replace_the_first(filled):
    for content in ("{", "{{"):
        (filled.folder / "versions.json").write_text(content)
        filled.describe(2, "mine", "")
    assert (filled.folder / "versions.json.damaged").read_text() == "{"
    assert (filled.folder / "versions.json.damaged-2").read_text() == "{{"


def test_a_choice_that_cannot_be_read_just_now_is_not_taken_for_none(filled):
    (filled.folder / "active.json").mkdir()
    with pytest.raises(StorageError, match="could not be read"):
        filled.set_active(1)


def test_a_choice_as_it_was_first_written_is_read_and_keeps_what_it_says(filled):
    (filled.folder / "active.json").write_text('{"active": 2, "last": 7, "base": "lite_medsam"}')
    assert filled.active.number == 2
    assert filled.next_number() == 8
    filled.set_active(1)
    assert filled.next_number() == 8
    assert filled.base == "lite_medsam"


@pytest.mark.parametrize("content", ["{", '{"format": "%s", "schema_version": 99}'])
def test_a_card_of_a_deleted_version_that_cannot_be_read_is_named(filled, content):
    filled.set_active(1)
    filled.delete(3)
    card = filled.folder / "deleted" / "adapter-0003.json"
    card.write_text(content.replace("%s", "napari-sam-adapter deleted adapter"))
    assert filled.deleted() == []
    filled.versions()
    (message,) = filled.unreadable
    assert "adapter-0003" in message
    assert "not known" in message


def test_the_number_of_a_deleted_version_is_not_given_again_where_the_choice_is_lost(filled):
    filled.set_active(1)
    filled.delete(3)
    (filled.folder / "active.json").unlink()
    assert filled.next_number() == 4
