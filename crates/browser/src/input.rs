//! Keys as a keyboard sends them.

use serde_json::{Value, json};

/// A key that is pressed and released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// To the next thing that takes the focus.
    Tab,
    /// Shift and Tab: to the one before.
    BackTab,
    /// Follow, submit.
    Enter,
    /// Press the button, tick the box.
    Space,
    /// Away with it.
    Escape,
    /// Down.
    ArrowDown,
    /// Up.
    ArrowUp,
    /// Control and A: all of the text.
    SelectAll,
    /// Removes what is selected, or the character to the left.
    Backspace,
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
