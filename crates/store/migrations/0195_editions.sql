-- Other editions and offers of a game are found by how their folded titles begin (store.games.editions). A long title is
-- told by its first letters: an index entry has no room for more.
create index game_search_beginning_idx on game_search (left(title, 200) collate "C");
