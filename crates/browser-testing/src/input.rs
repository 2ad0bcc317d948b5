//! Keyboard input.

use serde_json::{Value, json};

/// A key to press and release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Moves the focus to the next element.
    Tab,
    /// Shift and Tab: moves the focus to the previous element.
    BackTab,
    /// Follows a link, submits a form.
    Enter,
    /// Presses a button, toggles a checkbox.
    Space,
    /// Dismisses a dialog or menu.
    Escape,
    /// Down.
    ArrowDown,
    /// Up.
    ArrowUp,
    /// Control and A: selects all text.
    SelectAll,
    /// Removes the selection, or the character to the left.
    Backspace,
    /// A slash, as a shortcut.
    Slash,
    /// Control and K.
    ControlK,
}

impl Key {
    /// The two events of `Input.dispatchKeyEvent`.
    pub(crate) fn events(self) -> [Value; 2] {
        let (key, code, number, text, modifiers) = match self {
            Self::Tab => ("Tab", "Tab", 9, "", 0),
            Self::BackTab => ("Tab", "Tab", 9, "", 8),
            Self::Enter => ("Enter", "Enter", 13, "\r", 0),
            Self::Space => (" ", "Space", 32, " ", 0),
            Self::Escape => ("Escape", "Escape", 27, "", 0),
            Self::ArrowDown => ("ArrowDown", "ArrowDown", 40, "", 0),
            Self::ArrowUp => ("ArrowUp", "ArrowUp", 38, "", 0),
            Self::SelectAll => ("a", "KeyA", 65, "", 2),
            Self::Backspace => ("Backspace", "Backspace", 8, "", 0),
            Self::Slash => ("/", "Slash", 191, "/", 0),
            Self::ControlK => ("k", "KeyK", 75, "", 2),
        };
        let event = |kind: &str| {
            let mut event = json!({
                "type": kind, "key": key, "code": code, "modifiers": modifiers,
                "windowsVirtualKeyCode": number, "nativeVirtualKeyCode": number,
            });
            if !text.is_empty() && kind == "keyDown" {
                event["text"] = text.into();
            }
            if matches!(self, Self::SelectAll) && kind != "keyUp" {
                event["commands"] = json!(["selectAll"]);
            }
            event
        };
        [
            event(if text.is_empty() { "rawKeyDown" } else { "keyDown" }),
            event("keyUp"),
        ]
    }
}
