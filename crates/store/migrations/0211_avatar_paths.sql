-- Of an uploaded picture only the path is stored: its address follows the shop's public URL.
update users u set avatar = '/avatars/' || a.id || '.webp'
  from avatars a
 where a.user_id = u.id and u.avatar like '%/avatars/' || a.id || '.webp' and u.avatar <> '/avatars/' || a.id || '.webp';
